"""Run a plan on a model: names are bound first, then the literal executor measures part by part."""
