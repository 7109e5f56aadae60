"""Keeping up what a run needs: who restarts whom, how a death is seen, and whose failure one is."""
