"""horovodrun under a supervisor: a run is started again from its last checkpoint on the hosts that answer."""
