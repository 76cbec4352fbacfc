"""A program that fills its terminal: argv[1] takes what ncurses itself holds on the screen, row by row, as JSON."""

import curses
import json
import locale
import sys
import time

locale.setlocale(locale.LC_ALL, "C.UTF-8")


def rows(window):
    height, width = window.getmaxyx()
    # instr gives bytes of the locale's encoding; the last cell of the last row is never written.
    return [window.instr(y, 0, 4 * width).decode("utf-8").rstrip() for y in range(height)]


def main(window):
    curses.use_default_colors()
    curses.curs_set(0)
    for number in range(1, 8):
        curses.init_pair(number, number, -1)
    window.addstr(0, 2, "services on web-3", curses.A_BOLD)
    window.addstr(1, 2, "─" * 60)
    for at, (name, state, colour) in enumerate(
        [
            ("nginx", "active (running)", 2),
            ("postgresql", "active (running)", 2),
            ("backup.timer", "waiting", 3),
            ("mailer", "failed", 1),
            ("日本語-サービス", "active (running)", 2),
        ]
    ):
        window.addstr(3 + at, 4, "●", curses.color_pair(colour))
        window.addstr(3 + at, 6, name)
        window.addstr(3 + at, 28, state, curses.color_pair(colour))
    window.refresh()
    for step in range(0, 41):
        window.addstr(10, 4, "checking " + "█" * step + "░" * (40 - step) + f" {step * 100 // 40:3d} %")
        window.refresh()
        time.sleep(0.005)
    window.addstr(12, 4, "4 of 5 are well", curses.A_REVERSE)
    window.addstr(12, 24, "café naïve Ω ≈ √2")
    window.move(14, 4)
    window.clrtoeol()
    window.scrollok(True)
    window.setscrreg(16, 20)
    for number in range(12):
        window.addstr(20, 4, f"log line {number}")
        window.scroll(1)
        window.refresh()
    window.addstr(22, 4, "press q to leave", curses.A_DIM)
    window.refresh()
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump(rows(window), out)
    # Long enough that who reads the terminal has read all of it before it leaves.
    time.sleep(1)


curses.wrapper(main)
print("5 services, 1 failed")
