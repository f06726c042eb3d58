"""RabbitMQ's Prometheus endpoint: `endpoint.py` serves requests, `pages.py` writes pages, `families.py` and `node.py`
hold the metrics, `text.py` writes lines.

Nothing is kept between two scrapes: a scrape reads the counters of the engine, a slice at a time.
"""
