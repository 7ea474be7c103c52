"""The dataset on disk: scene keys, the Step-1 index, the Step-2 index and its samples."""
