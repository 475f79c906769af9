"""A recorded flow run, played: its graph and its workers through time, as a Bokeh application or one HTML file."""
