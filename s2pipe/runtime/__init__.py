"""What every process needs: atomic files, locks, hashes, progress, cores, reproducible draws."""
