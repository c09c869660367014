"""Picture and clip files: read, written, and what they say of themselves; no network is known here."""
