"""One HTML file that shows a run's latent plane and gradient path, and trains it further."""

from numpyvae.explore.page import check_can_explore, explore_page, page_script

__all__ = ["check_can_explore", "explore_page", "page_script"]
