"""MongoDB's client, as FireWorks calls it, over the queue in PostgreSQL; its door is `connecting`."""
