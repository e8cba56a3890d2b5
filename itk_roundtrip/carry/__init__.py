"""A slab from its sources to verified files: scheduling, instances put together, codecs, the staging folder."""
