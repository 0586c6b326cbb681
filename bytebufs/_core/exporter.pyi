Exporter = object
