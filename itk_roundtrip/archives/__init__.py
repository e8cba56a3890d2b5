"""Archives of many series: scanned, planned, carried by workers of this machine or of a Dask cluster, resumed."""
