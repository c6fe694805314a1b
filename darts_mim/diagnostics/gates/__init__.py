"""After fitting: what do the network's gates and memories do?"""
