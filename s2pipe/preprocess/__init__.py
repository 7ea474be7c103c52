"""Step 2: resample, mask, calibrate and normalise the scenes of a Step-1 manifest."""
