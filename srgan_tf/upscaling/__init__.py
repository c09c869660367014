"""Arrays, files, folders and buckets enlarged, on this machine, a server or a cluster."""
