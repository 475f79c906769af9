"""The browser that tests of pages use is a real one."""


def test_a_page_runs_its_script(page):
    page.set_content("<p id=said></p><script>said.textContent = 6 * 7</script>")
    assert page.text_content("#said") == "42"
