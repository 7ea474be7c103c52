"""The report: what a dataset holds, as one page of HTML that needs nothing beside it."""
