"""Upscaling of arrays, files, folders and buckets on this machine, a server or a cluster."""
