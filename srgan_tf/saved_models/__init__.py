"""SavedModels: shipping, serving and restoring trained networks."""
