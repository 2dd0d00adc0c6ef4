"""One HTML file that shows a run's latent plane and gradient path, and trains it further."""

from numpyvae.explore.page import PAGE, explore_page, page_script, why_no_page

__all__ = ["PAGE", "explore_page", "page_script", "why_no_page"]
