"""Where sound comes from: recipes, recordings, folders."""
