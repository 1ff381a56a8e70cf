"""The site: it builds, every link leads somewhere, every exported name has its section, and every page fits on a screen and a telephone."""
import os, re
from functools import cache
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from build_site import api, build
from test_browser import CHROMIUM, browser_type_launch_args  # noqa: F401 (a fixture)

pytestmark = pytest.mark.xdist_group('site')


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    "The folder of the site, which is built for these tests."
    folder = tmp_path_factory.mktemp('site') / 'site'
    assert build(folder) == []
    return folder

@pytest.fixture(scope='module')
def pages(site): return sorted(site.rglob('*.html'))

@cache
def soup(page): return BeautifulSoup(page.read_text(encoding='utf-8'), 'html.parser')

@cache
def anchors(page): return {tag.get(name) for name in ('id', 'name') for tag in soup(page).find_all(attrs={name: True})}

def links(page): return dict.fromkeys(tag.get(name) for name in ('href', 'src', 'poster') for tag in soup(page).find_all(attrs={name: True}))


def trouble(site, page, link):
    "Why a link inside the site leads nowhere; None if it does not."
    parts = urlsplit(link)
    if parts.scheme or parts.netloc: return None                                    # another site, or a picture inside the page
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir(): target /= 'index.html'
    if not target.is_file() or not target.is_relative_to(site.resolve()): return f'{page.name}: {link} is not there'
    place = unquote(parts.fragment)
    if target.suffix == '.html' and place and place not in anchors(target): return f'{page.name}: {link} names a place that the page does not have'
    return None

def test_every_link_leads_somewhere(site, pages):
    assert [said for page in pages for link in links(page) if (said := trouble(site, page, link))] == []

def test_a_link_that_leads_nowhere_is_found(site, pages):
    first = site / 'index.html'
    for link in ('nowhere.html', '../outside.html', 'index.html#nowhere', 'pictures/none.png'): assert trouble(site, first, link), link
    assert trouble(site, first, 'https://example.org/') is None and trouble(site, first, 'index.html') is None

def test_no_page_shows_a_traceback(pages):
    assert len(pages) > 20
    assert [page.name for page in pages if 'Traceback (most recent call last)' in page.read_text(encoding='utf-8')] == []

def test_every_exported_name_has_a_section(site, pages):
    assert [f'{page}: {name}' for page, name in api() if name.lower() not in anchors(site / page)] == []


@pytest.mark.skipif(CHROMIUM is None, reason='Chromium is not installed')
@pytest.mark.parametrize('scheme, width, height', [('light', 1280, 800), ('dark', 390, 844)], ids=['screen-light', 'telephone-dark'])
def test_a_page_fits_and_shows_its_pictures(site, pages, browser, scheme, width, height):
    complaints = []
    with browser.new_context(viewport=dict(width=width, height=height), color_scheme=scheme) as context:
        context.route(re.compile('^https?:'), lambda route: route.abort())          # nothing is asked of the network
        page = context.new_page()
        page.on('pageerror', lambda e: complaints.append(f'error in {page.url}: {e}'))
        for path in pages:
            page.goto(path.as_uri())
            wide, ground, broken = page.evaluate('''() => [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor,
                [...document.querySelectorAll('img')].filter(i => i.complete && !i.naturalWidth).map(i => i.src)]''')
            name = path.relative_to(site).as_posix()
            if wide > width: complaints.append(f'{name} is {wide} pixels wide on a screen of {width}')
            if broken: complaints.append(f'{name} lacks {broken}')
            if (sum(map(int, re.findall(r'\d+', ground)[:3])) > 380) != (scheme == 'light'): complaints.append(f'{name} is {ground} in a {scheme} theme')
            if name == 'index.html' and (folder := os.environ.get('MARIO_DQN_PICTURES')): page.screenshot(path=f'{folder}/front-{scheme}.png')
    assert complaints == []
