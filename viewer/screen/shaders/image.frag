// Pictures that panels made themselves.
#version 450

layout(set = 0, binding = 0) uniform sampler2D image;
layout(location = 0) in vec4 colour;
layout(location = 1) in vec2 place;
layout(location = 0) out vec4 drawn;

void main()
{
    drawn = colour * texture(image, place);
}
