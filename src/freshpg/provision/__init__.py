"""From settings and blueprints to a running server that has their templates."""
