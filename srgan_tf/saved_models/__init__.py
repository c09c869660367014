"""Trained networks as files: the SavedModels that are shipped, served and restored."""
