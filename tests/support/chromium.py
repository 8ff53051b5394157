"""How Debian's Chromium is started where there is no graphics card, nor anybody but root."""

# Software rendering: what is drawn is the same, only slower. What a browser does for itself is left off.
ARGUMENTS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
