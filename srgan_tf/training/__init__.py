"""From pictures to a trained network: recipes, crops, the step, the run and its folder."""
