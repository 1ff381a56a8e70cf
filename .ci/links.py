"""Finds the links and pictures of a built site that lead nowhere."""
from functools import cache
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    "The anchors of a page, and what it links to."
    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ('id', 'name') and value: self.ids.add(value)
            if name in ('href', 'src', 'poster') and value: self.links.append(value)


@cache
def read(path): return Page(path.read_text(encoding='utf-8'))

def ids(path): # path of a page
    "The anchors of a page."
    return read(path).ids

def broken_links(site): # folder of the site
    "One line for every link inside the site whose file, or place in the file, is not there."
    lines = []
    for path in sorted(site.rglob('*.html')):
        for link in dict.fromkeys(read(path).links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc: continue  # another site, or a picture inside the page
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir(): target /= 'index.html'
            inside = target.is_file() and target.is_relative_to(site.resolve())
            anchor = unquote(parts.fragment)
            if not inside: lines.append(f'{path.relative_to(site)}: {link} is not there')
            elif target.suffix == '.html' and anchor and anchor not in ids(target):
                lines.append(f'{path.relative_to(site)}: {link} names a place that the page does not have')
    return lines
