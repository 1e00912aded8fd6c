"""Searching for better settings of training: many runs of one budget, by one process or several.

* `search.run_search`: the search; `search.Search` says what is searched, `search.write_summary`
  writes what was found.
* `space`: which fields are searched, and in which ranges; `space.yaml` holds the usual ones.
* `study`: trials that several workers share, none of which is lost or done twice when a worker is
  killed.

May import `training` and what lies below it; it does not know `evaluation`.
"""
