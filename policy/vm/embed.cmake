# cmake -DIN=file.lua -DOUT=file.h -DNAME=symbol -P embed.cmake: a text as a C array.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "/* Made from ${NAME}.lua by embed.cmake. */\nstatic const unsigned char ${NAME}_source[] = {\n${bytes}\n};\n")
