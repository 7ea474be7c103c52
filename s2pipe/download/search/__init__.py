"""Searching the catalogue, and choosing products and pairs with reasons."""
