# The load generator and the sink, against each other.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME e2e/tools
  COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/e2e/tools_test.py ${PROJECT_BINARY_DIR})
set_tests_properties(e2e/tools PROPERTIES TIMEOUT 1500)
