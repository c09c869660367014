"""Reading and writing of picture and clip files and their metadata, independent of the networks."""
