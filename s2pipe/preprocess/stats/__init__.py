"""Histograms and the statistics made from them."""
