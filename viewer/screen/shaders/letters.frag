// Letters: how much of a pixel they cover is in the texture.
#version 450

layout(set = 0, binding = 0) uniform sampler2D coverage;
layout(location = 0) in vec4 colour;
layout(location = 1) in vec2 place;
layout(location = 0) out vec4 drawn;

void main()
{
    drawn = vec4(colour.rgb, colour.a * texture(coverage, place).r);
}
