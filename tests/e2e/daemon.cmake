# The daemon from outside: mail in, mail out, records.
macro(e2e_test file)
  get_filename_component(subject ${file} NAME_WE)
  string(REGEX REPLACE "_test$" "" subject ${subject})
  add_test(NAME e2e/${subject}
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/e2e/${file} ${PROJECT_BINARY_DIR})
  set_tests_properties(e2e/${subject} PROPERTIES TIMEOUT 300)
endmacro()

e2e_test(inbound_test.py)
e2e_test(inbound_policy_test.py)
e2e_test(inbound_body_test.py)
e2e_test(outbound_test.py)
e2e_test(outbound_limits_test.py)
e2e_test(outbound_logs_test.py)
