"""What is known of Sentinel-2: bands, roles, channels and the layout of SAFE products."""
