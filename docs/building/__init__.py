"""What `docs/conf.py` needs to make a site of pages that read well without it."""
