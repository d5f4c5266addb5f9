"""The record of all sections: RESULTS.md, comparisons with the one before, the READMEs."""
