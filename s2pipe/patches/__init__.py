"""Step 3: patches, splits and shards."""
