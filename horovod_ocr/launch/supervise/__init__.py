"""horovodrun, supervised: started again from the last checkpoint on the hosts that answer."""
