"""HTML pages taken apart, a text that no page may run, and pictures to put in them."""

from html.parser import HTMLParser

import numpy as np

EVIL = "<script>alert('x')</script>\"&"


VOID = {"meta", "img", "br", "line", "polyline", "circle"}


class Page(HTMLParser):
    """Collects elements and text; fails on elements closed in the wrong order."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def count(self, tag, of_class=None):
        return sum(
            name == tag and (of_class in (None, attributes.get("class")))
            for name, attributes in self.elements
        )


def picture(side=8):
    return np.random.default_rng(side).integers(0, 255, (side, side, 3), np.uint8)
