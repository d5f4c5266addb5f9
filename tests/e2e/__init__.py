"""End-to-end tests: a package, as systems that its tests share end with the last of them."""
