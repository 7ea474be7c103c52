"""What a dataset is handed on with: a STAC catalogue, a card, its licence, and Croissant metadata."""
