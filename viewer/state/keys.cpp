#include "state/keys.h"

#include <cctype>

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

namespace viewer
{
namespace
{

std::string key_text(int key, int mods, const char *name)
{
    static const struct {
        int key;
        const char *text;
    } names[] = {
        {GLFW_KEY_SPACE, "Space"},
        {GLFW_KEY_RIGHT, "Right"},
        {GLFW_KEY_LEFT, "Left"},
        {GLFW_KEY_UP, "Up"},
        {GLFW_KEY_DOWN, "Down"},
        {GLFW_KEY_PAGE_DOWN, "Page Down"},
        {GLFW_KEY_PAGE_UP, "Page Up"},
        {GLFW_KEY_HOME, "Home"},
        {GLFW_KEY_END, "End"},
        {GLFW_KEY_ESCAPE, "Esc"},
        {GLFW_KEY_F1, "F1"},
        {GLFW_KEY_KP_ADD, "+"},
        {GLFW_KEY_KP_SUBTRACT, "-"},
        {GLFW_KEY_ENTER, "Enter"},
        {GLFW_KEY_KP_ENTER, "Enter"},
        {GLFW_KEY_DELETE, "Delete"},
        {GLFW_KEY_BACKSPACE, "Backspace"},
    };
    const bool shift = mods & GLFW_MOD_SHIFT;
    if (key == GLFW_KEY_TAB)
        return shift ? "Shift Tab" : "Tab";
    for (const auto &n : names)
        if (n.key == key)
            return n.text;
    std::string text = name ? name : "";
    if (text.empty() && key > GLFW_KEY_SPACE && key <= GLFW_KEY_GRAVE_ACCENT)
        text = std::string(1, static_cast<char>(key));
    /* Signs that many keyboards have above others. */
    if (shift && (text == "/" || text == "\u00DF"))
        return "?";
    if (shift && text == "=")
        return "+";
    if (text.size() == 1)
        text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    return text;
}

action find(const std::string &text)
{
    for (const key_binding &b : key_bindings())
        if (text == b.key)
            return b.does;
    return action::none;
}

} // namespace

action find_action(int key, int mods, const char *name)
{
    if (mods & GLFW_MOD_SUPER)
        return action::none;
    std::string text = key_text(key, mods, name);
    if (mods & GLFW_MOD_CONTROL)
        return text == "Q" ? action::quit : find("Ctrl " + text);
    if (mods & GLFW_MOD_ALT) {
        /* The digits' row, whatever it prints. */
        if (key >= GLFW_KEY_1 && key <= GLFW_KEY_9)
            text = std::string(1, static_cast<char>('1' + key - GLFW_KEY_1));
        return find("Alt " + text);
    }
    action shifted = mods & GLFW_MOD_SHIFT ? find("Shift " + text) : action::none;
    return shifted == action::none ? find(text) : shifted;
}

} // namespace viewer
