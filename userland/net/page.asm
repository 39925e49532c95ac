; The HTML page, included as a file.
global page_html, page_html_end
section .rodata
page_html:
	incbin "userland/net/page.html"
page_html_end:
