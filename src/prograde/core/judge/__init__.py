"""Statistics for canaries: evidence that is valid whenever it is looked at, and the judge that Kayenta users know."""
