// Corners of what the panels draw, in pixels from the top left.
#version 450

layout(push_constant) uniform window {
    vec2 scale; // 2 / size
} w;

layout(location = 0) in vec2 at;
layout(location = 1) in vec2 place; // in a texture
layout(location = 2) in vec4 colour;

layout(location = 0) out vec4 out_colour;
layout(location = 1) out vec2 out_place;

void main()
{
    gl_Position = vec4(at * w.scale - 1.0, 0.0, 1.0);
    out_colour = colour;
    out_place = place;
}
