"""Work spread over the processes of a Dask cluster; what the work is, the steps know."""
