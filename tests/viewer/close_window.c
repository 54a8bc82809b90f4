/* close_window ID: asks a window to close, as a window manager does. xdotool of Debian 12 cannot. */
#include <stdio.h>
#include <stdlib.h>

#include <X11/Xlib.h>

int main(int argc, char **argv)
{
    Display *display = XOpenDisplay(NULL);
    if (argc != 2 || !display) {
        fprintf(stderr, "no window or no display\n");
        return 1;
    }
    XEvent event = {.xclient = {.type = ClientMessage,
                                .window = strtoul(argv[1], NULL, 10),
                                .message_type = XInternAtom(display, "WM_PROTOCOLS", False),
                                .format = 32}};
    event.xclient.data.l[0] = (long)XInternAtom(display, "WM_DELETE_WINDOW", False);
    event.xclient.data.l[1] = CurrentTime;
    int sent = XSendEvent(display, event.xclient.window, False, NoEventMask, &event);
    XCloseDisplay(display);
    return sent ? 0 : 1;
}
