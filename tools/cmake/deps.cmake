# Foreign libraries. Each is used by exactly one module; see docs/ARCHITECTURE.md.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
pkg_check_modules(CARES REQUIRED IMPORTED_TARGET libcares)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

# LuaJIT with the build flags the engine needs: tools/deps puts it there.
set(LUAJIT_ROOT ${PROJECT_SOURCE_DIR}/build/deps/luajit CACHE PATH "LuaJIT built by tools/deps")
add_library(luajit STATIC IMPORTED)
set_target_properties(luajit PROPERTIES
  IMPORTED_LOCATION ${LUAJIT_ROOT}/lib/libluajit-5.1.a
  INTERFACE_INCLUDE_DIRECTORIES ${LUAJIT_ROOT}/include/luajit-2.1
  INTERFACE_LINK_LIBRARIES "m;dl")

# mimalloc replaces malloc in the daemon and tools; sanitizer builds keep their own.
add_library(ring_malloc INTERFACE)
if(NOT RINGPOST_ASAN AND NOT RINGPOST_TSAN AND NOT RINGPOST_FUZZ)
  find_library(MIMALLOC_LIB NAMES mimalloc REQUIRED)
  target_link_libraries(ring_malloc INTERFACE ${MIMALLOC_LIB})
endif()
